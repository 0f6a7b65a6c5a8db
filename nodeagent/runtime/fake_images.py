"""An image service without a registry, for unit tests and the simulator. Deterministic."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from nodeagent.runtime.interface import Image, ImageConfig, PullFailed, RegistryAuth
from orch import oci


class FakeImages:
    """Implements ImageService. Every well-formed name can be pulled, unless it is in `missing`."""

    def __init__(self, *, pull_s: float = 0.0, config: ImageConfig | None = None) -> None:
        self._pull_s, self._config = pull_s, config or ImageConfig(cmd=("/app",))
        self._images: dict[str, Image] = {}
        self.missing: dict[str, str] = {}
        """Name -> why pulling it fails."""
        self.pulls: list[str] = []
        self.held: list[str] = []

    async def find(self, reference: str) -> Image | None:
        if reference.startswith("fake:"):
            return next((image for image in self._images.values() if image.id == reference), None)
        return self._images.get(oci.canonical(reference))

    async def pull(self, reference: str, auth: RegistryAuth | None = None) -> Image:
        name = oci.canonical(reference)
        self.pulls.append(name)
        await asyncio.sleep(self._pull_s)
        if reference in self.missing:
            raise PullFailed(self.missing[reference])
        self._images[name] = Image(
            id=f"fake:{name}", names=(name,), digest="", size_bytes=1, config=self._config, layer_paths=()
        )
        return self._images[name]

    async def list(self) -> Sequence[Image]:
        return list(self._images.values())

    @contextmanager
    def holding(self, image_id: str) -> Iterator[None]:
        self.held.append(image_id)
        try:
            yield
        finally:
            self.held.remove(image_id)

    async def remove(self, reference: str) -> None:
        self._images.pop(oci.canonical(reference), None)
