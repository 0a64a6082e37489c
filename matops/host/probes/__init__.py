"""Sources that travel to the host (see ``host.probe``): stdlib only, one ``collect`` each."""
