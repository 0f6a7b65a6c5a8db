"""Answers to reviews: objects that a client creates to ask the server something, and of which nothing is kept.

identity.py  whose token is it, who am I      (authentication.k8s.io)
access.py    who may do what                  (authorization.k8s.io)
reviews.py   which review is answered by whom
"""
