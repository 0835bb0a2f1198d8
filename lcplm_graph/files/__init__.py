"""Files: what data exist, where they come from, how they are fetched and opened.

A *card* (`cards/NAME/card.toml`) says of a dataset what it is, under which licence, and for every
file its role, address, size and checksum. `catalog` reads cards, `download` fetches what they
name: resumed after a break, checked, and never half under its final name.

>>> from lcplm_graph.files.catalog import load_card
>>> card = load_card("string_human_core")
>>> card.kind, card.organism
('ppi', (9606,))

Text comes in many shapes: gzip, zstd, bzip2 or plain, line ends of any system, alone and mixed.
`open.open_stream` gives plain bytes for all of them and refuses by name what is not text. `tables`
reads rows on top of it and keeps the line of each, for messages.

What one calls: `catalog.load_card`, `download.fetch_card_file`, `open.open_stream`,
`tables.read_table`. On the command line: ``lcplm data list | show | download | verify``.

Next: `lcplm_graph.datasets`, which makes graphs of these files.
"""
