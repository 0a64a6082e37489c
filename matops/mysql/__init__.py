"""One database server. Knows neither Fabric nor SSH."""
