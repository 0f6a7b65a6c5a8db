# Fills the page's blanks with what the pod knows of itself, then serves it until the pod is told to stop: the first
# process of a container gets no default action for SIGTERM, so it needs a trap of its own.
sed -e "s/@POD@/$POD_NAME/" -e "s/@NODE@/$NODE_NAME/" -e "s/@ADDRESS@/$POD_IP/" /page/index.html > /www/index.html
httpd -f -v -p 8080 -h /www &
trap 'kill $!; exit 0' TERM
wait
