"""The API objects: pure data, one file per kind. No I/O, no clock, no knowledge of either side."""
