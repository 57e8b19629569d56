"""Stories made readable: captioned pages as pictures, and a page for the browser."""
