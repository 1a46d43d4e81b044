"""One file per known layout: from what a file holds to the module that it belongs to."""
