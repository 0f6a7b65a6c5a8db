"""The controllers of persistent storage: claims get volumes, volumes are given back, pods get claims of their own."""
