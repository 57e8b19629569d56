"""The book press: a story on pages, as files for print, for readers and for the screen.

Read in the order of the flow: `paper`, `templates`, `settings` say what is wanted; `layout` turns a
story into a `sheets.Book` of drawing steps in points; `raster`, `pdf`, `epub`, `cbz`, `reader`,
`subtitles` and `video` write it; `formats` chooses among them by the file's ending.
"""
