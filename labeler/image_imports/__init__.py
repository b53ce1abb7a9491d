"""Adding images in the browser: uploads, folders of the server, and their registration."""
