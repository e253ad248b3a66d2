"""Procedural songs: instruments with ADSR envelopes, harmony, rhythm, and four styles that use them."""
