"""A picture as parameters to be optimized: its pixels, or the coefficients of its Fourier transform.

Gradient ascent on pixels favours high frequencies. On Fourier coefficients scaled by 1 / frequency, as in
natural images, and on decorrelated colours, it changes every frequency and colour alike (Olah, Mordvintsev,
Schubert: Feature visualization, Distill 2017).

Total variation is taken of the values before the sigmoid that maps them to [0, 1]: after it, a picture
saturated to black and white would have the least.
"""

import torch
from torch.nn import functional

NOISE = 0.01  # standard deviation of the parameters at the start
GAIN = 1 / 4  # over the side, from coefficients to values: a step changes about as much as on pixels
# Columns: how red, green and blue vary together over ImageNet's photographs (Olah et al.).
COLOURS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))


class Parametrization:
    """``count`` square pictures of ``side`` pixels, all from the same noise.

    ``parameters`` is the tensor to optimize: [count, 3, side, side], or with ``fourier`` the coefficients
    [count, 3, side, side // 2 + 1, 2].
    """

    def __init__(
        self, count: int, side: int, *, fourier: bool, decorrelated: bool, seed: int, device: str
    ) -> None:
        self.side = side
        self.fourier = fourier
        generator = torch.Generator().manual_seed(seed)
        shape = (3, side, side // 2 + 1, 2) if fourier else (3, side, side)
        noise = NOISE * torch.randn(shape, generator=generator)
        self.parameters = noise.to(device).repeat(count, *[1] * len(shape)).requires_grad_()
        rows, columns = torch.fft.fftfreq(side), torch.fft.rfftfreq(side)
        frequency = (rows[:, None] ** 2 + columns**2).sqrt().clamp_min(1 / side)
        self.scale = (1 / frequency).unsqueeze(-1).to(device)  # [side, side // 2 + 1, 1]
        colours = torch.tensor(COLOURS) if decorrelated else torch.eye(3)
        self.colours = (colours / colours.norm(dim=0).max()).to(device)

    def values(self, side: int) -> torch.Tensor:
        """[count, 3, side, side] before the sigmoid, around 0 for grey.

        A smaller ``side`` gives the same picture, coarser: its low frequencies, or its averaged pixels.
        """
        planes = self.parameters
        if self.fourier:
            planes = self._from_spectrum(side)
        elif side != self.side:
            planes = functional.interpolate(planes, (side, side), mode="bilinear", antialias=True)
        return torch.einsum("rc,nchw->nrhw", self.colours, planes)

    def pictures(self) -> torch.Tensor:
        """[count, 3, side, side] in [0, 1], without gradient, on the CPU."""
        with torch.no_grad():
            return self.values(self.side).sigmoid().cpu()

    def _from_spectrum(self, side: int) -> torch.Tensor:
        spectrum = torch.view_as_complex(self.parameters * self.scale)
        if side < self.side:
            half = side // 2
            rows = [spectrum[..., : side - half, : half + 1], spectrum[..., self.side - half :, : half + 1]]
            spectrum = torch.cat(rows, dim=-2)
        return GAIN / self.side * torch.fft.irfft2(spectrum, s=(side, side), norm="forward")
