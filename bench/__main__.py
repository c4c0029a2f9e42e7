"""All measurements of this machine, into bench/RESULTS.md (``make bench``)."""

from __future__ import annotations

from pathlib import Path

from bench import ladder, loop, overhead, own, publish, seeds, start, store, streaming

TITLE = (
    "# Measurements\n\nWritten by `make bench`. These machines are shared and noisy: read the ratios, not the seconds. "
    "The verdicts' calibration is in [RESULTS-calibration.md](RESULTS-calibration.md); on a GPU, `python -m bench.gpu` measures.\n"
)


def run() -> None:
    sections = [
        TITLE,
        *(module.main() for module in (start, loop, own, streaming, ladder, seeds, store, overhead, publish)),
    ]
    path = Path(__file__).parent / "RESULTS.md"
    path.write_text("\n".join(sections), encoding="utf-8")
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    run()
