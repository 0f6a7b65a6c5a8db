# Fills the page's blanks with what the pod knows of itself, then serves it.
sed -e "s/@POD@/$POD_NAME/" -e "s/@NODE@/$NODE_NAME/" -e "s/@ADDRESS@/$POD_IP/" /page/index.html > /www/index.html
exec httpd -f -v -p 8080 -h /www
