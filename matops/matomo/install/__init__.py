"""A staged release becomes the docroot's: built beside it and exchanged, or copied over it."""
