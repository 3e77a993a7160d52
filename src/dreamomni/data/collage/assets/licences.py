"""Licences of assets: SPDX expressions, where they are written down, and what other words mean."""

import re
from dataclasses import dataclass
from pathlib import Path

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from dreamomni.errors import DataError

_TAG = re.compile(r"SPDX-License-Identifier:\s*([^\s*<>#-][^\n*<>]*?)\s*(?:\*/|-->|$)", re.MULTILINE)
_HOLDER = re.compile(r"SPDX-FileCopyrightText:\s*(.+?)\s*(?:\*/|-->|$)", re.MULTILINE)
_CC = re.compile(r"creativecommons\.org/licenses/(by(?:-nc)?(?:-nd|-sa)?)/(\d\.\d)", re.IGNORECASE)
_PLACES = (
    ("creativecommons.org/publicdomain/zero", "CC0-1.0"),
    ("creativecommons.org/publicdomain/mark", "LicenseRef-Public-Domain-Mark"),
    ("flickr.com/commons/usage", "LicenseRef-Flickr-Commons"),
    ("usa.gov", "LicenseRef-US-Government-Work"),
)


@dataclass(frozen=True, slots=True)
class Rights:
    """Under which licence something may be used, and who is to be named.

    Attributes:
        licence: SPDX expression, empty while nobody has said.
        attribution: Empty when nobody is to be named.
    """

    licence: str = ""
    attribution: str = ""

    def over(self, other: "Rights") -> "Rights":
        """These rights, and where they say nothing those of `other`."""
        return Rights(self.licence or other.licence, self.attribution or other.attribution)


def check_licence(text: str, where: str) -> str:
    """Return a licence as SPDX writes it.

    Args:
        text: What is said of the licence.
        where: Whose licence it is, for the message.

    Raises:
        DataError: It is empty, or no SPDX expression.
    """
    if not text:
        raise DataError(
            f"nobody says the licence of {where}: give --licence with an SPDX id (such as CC0-1.0 or "
            "CC-BY-4.0, or LicenseRef-NAME for any other), or a file beside it that ends in .license"
        )
    try:
        return str(canonicalize_license_expression(text))
    except InvalidLicenseExpression:
        raise DataError(
            f"the licence {text!r} of {where} is not known to SPDX: write an SPDX id (such as CC0-1.0 or "
            "CC-BY-4.0), or LicenseRef-NAME if it is none of these"
        ) from None


def sidecar_rights(path: Path) -> Rights:
    """Read the REUSE file beside an asset (`apple.png.license`); empty rights when there is none.

    Raises:
        DataError: It cannot be read.
    """
    sidecar = path.with_name(path.name + ".license")
    if not sidecar.is_file():
        return Rights()
    try:
        return tagged_rights(sidecar.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{sidecar} cannot be read as text: {error}") from error


def tagged_rights(text: str) -> Rights:
    """Read the SPDX tags in a text."""
    licence, holders = _TAG.search(text), _HOLDER.findall(text)
    return Rights(licence.group(1) if licence else "", "; ".join(holders))


def licence_from_words(name: str, url: str) -> str:
    """Find the SPDX id for a licence that a data set describes by name and address.

    Returns:
        An SPDX id, or a LicenseRef- made from the name.
    """
    found = _CC.search(url)
    if found:
        return f"CC-{found.group(1).upper()}-{found.group(2)}"
    for place, licence in _PLACES:
        if place in url.lower():
            return licence
    for candidate in (name, url):
        try:
            return str(canonicalize_license_expression(candidate))
        except InvalidLicenseExpression:
            continue
    slug = "-".join(re.findall(r"[A-Za-z0-9.]+", name or url))
    return f"LicenseRef-{slug}" if slug else ""
