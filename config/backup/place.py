"""Where copies lie that are only ever added to: a directory or a bucket. What is there under its name is whole.

A file gets its name when it was read back: on disk by a rename; in a bucket an upload that was killed leaves nothing.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pyarrow.fs import FileInfo, FileSelector, FileType

from config.backup.wal import BackupProblem, sync
from metrics.services.archive_store import DRAFT, PIECE, Store, told

Count = Callable[[int], None]


class Place(Store):
    """Speaks of files by their path below the address, or below a directory of it."""

    def __init__(self, url: str, below: str = "") -> None:
        super().__init__(url)
        self.below = below
        self.root += below and f"/{below}"

    def shown(self, path: str) -> str:
        return super().shown(f"{self.below}/{path}".strip("/"))

    def under(self, directory: str) -> list[FileInfo]:
        with told(f"{self.shown(directory)} cannot be read"):
            found: list[FileInfo] = self.fs.get_file_info(FileSelector(self.full(directory), allow_not_found=True))
        return sorted(found, key=lambda info: str(info.base_name))

    def walk(self, directory: str) -> Iterator[tuple[str, FileInfo]]:
        """Every file below it with its path there, one directory after the other: there may be millions."""
        for info in self.under(directory):
            path = f"{directory}/{info.base_name}".lstrip("/")
            if info.type == FileType.Directory:
                yield from self.walk(path)
            elif not info.base_name.startswith(DRAFT):
                yield path, info

    def put(self, source: Path, path: str, count: Count) -> None:
        directory, _, name = path.rpartition("/")
        draft = f"{directory}/{DRAFT}{name}.part" if self.local else path
        with open(source, "rb") as file, told(f"{self.shown(path)} cannot be written"):
            self.prepare(directory)
            digest = hashlib.sha256()
            with self.fs.open_output_stream(self.full(draft)) as stream:
                while piece := file.read(PIECE):
                    stream.write(piece)
                    digest.update(piece)
                    count(len(piece))
        if self.sha256(draft)[1] != digest.hexdigest():
            self.remove(draft)
            raise BackupProblem(f"{self.shown(path)} is not what was written to it.")
        if self.local:
            with told(f"{self.shown(path)} cannot be written"):
                sync(Path(self.full(draft)))
                Path(self.full(draft)).replace(self.full(path))
                sync(Path(self.full(directory)))

    def get(self, path: str, target: Path) -> None:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (
            told(f"{self.shown(path)} cannot be read"),
            self.fs.open_input_stream(self.full(path)) as stream,
            open(target, "wb") as file,
        ):
            shutil.copyfileobj(stream, file, PIECE)

    def text(self, path: str) -> Any:
        with told(f"{self.shown(path)} cannot be read"), self.fs.open_input_stream(self.full(path)) as stream:
            return json.loads(stream.read())

    def remove_directory(self, path: str) -> None:
        with told(f"{self.shown(path)} cannot be removed"):
            self.fs.delete_dir(self.full(path))
