"""The access logs of the web server. Knows neither Fabric nor SSH."""
