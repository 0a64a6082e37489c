"""A scratch database: an empty copy of the live schema, provably ours, gone afterwards."""
