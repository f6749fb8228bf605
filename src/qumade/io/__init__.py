"""Files in and out: atomic writes, bounded reads, decoding of untrusted pictures."""
