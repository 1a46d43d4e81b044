"""What checks annotations while tests run: beartype, with integers accepted as numbers."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
