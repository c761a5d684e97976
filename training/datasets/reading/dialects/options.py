"""Options of the dialect of a table."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from difflib import get_close_matches
from encodings.aliases import aliases
from typing import Final

from training.datasets.reading.dialects.numbers import NumberForm
from training.errors import DatasetError

DOUBLE_COLON: Final = "::"
_WORDS: Final = {
    "comma": ",",
    "semicolon": ";",
    "tab": "\t",
    "\\t": "\t",
    "pipe": "|",
    "space": " ",
}
_ESCAPE: Final = re.compile(r"\\x([0-7][0-9a-fA-F])")
# Codecs of Python that are no encoding of files.
_NO_ENCODINGS: Final = frozenset(
    ["idna", "mbcs", "oem", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"]
)
_COMMON: Final = ("utf-8", "utf-16", "utf-16-le", "cp1252", "latin-1", "iso-8859-15", "cp1251")
_BLANK: Final = ("", "-", "_")


@dataclass(frozen=True, kw_only=True)
class DialectOptions:
    """Options of the dialect of a table; what they leave open is taken from its first lines."""

    separator: str | None = None
    "What stands between the fields of a table: one character (',', ';', '|', ' ', tab) or '::'. \
Default: as its first lines show."
    quoting: bool | None = None
    "Whether fields of a table may stand in quotation marks. Default: they may, but in TSV and \
between '::' a quotation mark is a character, unless the whole header is quoted."
    header: bool | None = None
    "Whether the first line of a table names its columns. Default: it does, unless --columns \
names them and that line holds none of these names."
    columns: str | None = None
    "Names of all columns of a table without a header, such as user_id,item_id,weight; '_' stands \
for one that is not read."
    encoding: str | None = None
    "Encoding of a table, such as cp1252 or latin-1. Default: UTF-8, or UTF-16 if a mark says so."
    decimal: str | None = None
    "Decimal separator of the plays of a table, '.' or ','. Default: as its first rows show."
    thousands: str | None = None
    "Separator of thousands in the plays of a table: ',', '.', a space or an apostrophe. Default: \
as its first rows show, mostly none."

    def check_dialect(self) -> None:
        """Refuses values that cannot be.

        Raises:
            DatasetError: one is no separator, no encoding, or no names of columns.
        """
        _ = self.field_separator, self.column_names, self.codec
        NumberForm.candidates(self.decimal, self.thousands)
        if self.field_separator == DOUBLE_COLON and self.quoting:
            raise DatasetError("--quoting is for separators of one character; leave it out")

    @property
    def field_separator(self) -> str | None:
        """One ASCII character or ``::``; None where the first lines say it."""
        if self.separator is None:
            return None
        character = _WORDS.get(self.separator.lower(), self.separator)
        if escape := _ESCAPE.fullmatch(character):
            character = chr(int(escape[1], 16))
        is_one = len(character) == 1 and character.isascii() and not character.isalnum()
        if character != DOUBLE_COLON and (not is_one or character in '"\r\n\0'):
            raise DatasetError(
                f"--separator is {self.separator!r}; expected one character, such as ';', or tab, "
                "or '::'"
            )
        return character

    @property
    def column_names(self) -> tuple[str, ...] | None:
        """The names of all columns; one that is not read is called by its number, from 1."""
        if self.columns is None:
            return None
        names = [name.strip() for name in self.columns.split(",")]
        if set(names) <= set(_BLANK):
            raise DatasetError(
                f"--columns is {self.columns!r}; expected names such as user_id,item_id,weight"
            )
        named = [name for name in names if name not in _BLANK]
        for name in named:
            if named.count(name) > 1:
                raise DatasetError(f"--columns names '{name}' twice")
        return tuple(
            str(place) if name in _BLANK else name for place, name in enumerate(names, start=1)
        )

    @property
    def codec(self) -> str | None:
        """The name of the encoding in Python; None where the file says it."""
        if self.encoding is None:
            return None
        try:
            found = codecs.lookup(self.encoding).name
        except (LookupError, ValueError):
            found = ""
        if not found or found in _NO_ENCODINGS or not codecs.lookup(found)._is_text_encoding:
            known = [one.replace("_", "-") for one in aliases]
            wrong = self.encoding.lower().replace("_", "-")
            near = get_close_matches(wrong, _COMMON, n=1) or get_close_matches(wrong, known, n=1)
            hint = (
                f"; did you mean {near[0]}?"
                if near and near != [wrong]
                else ", such as cp1252, latin-1 or utf-16"
            )
            raise DatasetError(f"--encoding is {self.encoding!r}, which is no encoding{hint}")
        return found
