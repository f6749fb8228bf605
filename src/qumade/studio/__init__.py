"""The studio: a page in the browser on which people look at recipes, datasets and networks, and change them."""
