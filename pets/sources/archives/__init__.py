"""Packed files that sources are made from: fetched or found, checked by their md5, and unpacked safely."""

from pets.sources.archives.downloads import Archive as Archive
from pets.sources.archives.downloads import fetch_archive as fetch_archive
from pets.sources.archives.unpacking import unpack as unpack
