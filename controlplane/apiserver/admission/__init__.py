"""Admission: what may still change or refuse a request after it was authorized. One small file per concern."""
