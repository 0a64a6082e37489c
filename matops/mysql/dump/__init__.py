"""A dump of a schema's tables as SQL text: many small files, none of them read for long."""
