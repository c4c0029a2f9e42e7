"""Tables and pictures: evidence in, text or pictures out."""
