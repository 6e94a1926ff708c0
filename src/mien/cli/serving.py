"""The verb that answers over HTTP: serve."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from mien.cli.app import app, options_of
from mien.errors import MissingExtra, UsageError
from mien.shown import tell

DEFAULT_PORT = 8766
_PATIENCE_S = 60.0  # for 20 MB over a slow line


@app.command
def serve(
    *,
    model: Path | None = None,
    detector: str | None = None,
    option: tuple[str, ...] = (),
    margin: float = 0.0,
    risk: float | None = None,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    token: Annotated[str | None, Parameter(env_var="MIEN_TOKEN")] = None,
    name: tuple[str, ...] = (),
    workers: int = 0,
    rate: float | None = None,
    room: int = 64,
    device: str = "cpu",
) -> None:
    """Open a page in the browser, and answer over HTTP: pictures in, rows out; a CSV of predictions in, an audit out.

    The page looks at pictures and the camera in the browser itself: they are sent nowhere. For programs:
    POST /v1/predict and /v1/audit, GET /v1/models, /healthz, /readyz, /metrics, /openapi.json. Nothing of a picture is
    kept or logged. Processes share nothing: run as many as there are machines.

    Parameters
    ----------
    model
        A run or weights folder, or an ONNX file; by default the model in the box.
    detector
        What finds faces ('mien list detectors').
    option
        Options of the detector, key=value.
    margin
        Wider crops, on the page too: shares of the side to add on every side.
    risk
        Abstain where needed for at most this share of wrong answers.
    host
        Where to listen. Other machines reach it only where this is not 127.0.0.1, as plain HTTP: put a proxy with TLS
        before it.
    port
        Port; 0 takes a free one.
    token
        What requests must carry (Authorization: Bearer TOKEN); MIEN_TOKEN in the environment says it as well. Drawn
        and printed where other machines reach the server.
    name
        Further names of the server, such as that of a proxy.
    workers
        Threads; by default one a core.
    rate
        Pictures a second that one address may send; by default any number.
    room
        Pictures in the house at once; more are sent away with 503.
    device
        Where a run's network computes.
    """
    import importlib
    import os
    import secrets
    from urllib.parse import quote

    for package in ("fastapi", "uvicorn", "python_multipart", "prometheus_client"):
        try:
            importlib.import_module(package)
        except ModuleNotFoundError as error:  # parts of it come with other extras too, which would not be enough
            raise MissingExtra("serving", "serve", package) from error
    from mien.faces import DEFAULT
    from mien.pictures.opening import quietly
    from mien.predict import Predictor
    from mien.serve.app import Limits, Server, create_app
    from mien.web.connections import allow_files
    from mien.web.guard import is_loopback
    from mien.web.server import addresses, listen, names_of, run

    if workers < 0:
        raise UsageError("--workers", str(workers), "1 or more, or 0 for one a core")
    if room < 1:
        raise UsageError("--room", str(room), "1 or more")
    if rate is not None and not rate > 0:
        raise UsageError("--rate", str(rate), "a number above 0")
    if token is not None and (not token.strip() or token != token.strip() or not token.isascii()):
        raise UsageError("--token", "is empty, or has blanks or other letters", "ASCII text that is hard to guess")
    names, local = names_of(host, name), is_loopback(host)
    threads = workers or os.cpu_count() or 1
    # Each thread works on a picture of its own: more threads within one would wait for each other.
    options = options_of(option)
    predictor = Predictor.load(
        model, device=device, detector=detector or DEFAULT, options=options, margin=margin, risk=risk, threads=1
    )
    for note in predictor.notes:
        tell(note)
    drawn = token or (None if local else secrets.token_urlsafe(24))
    limits = Limits(room=room, per_s=float("inf") if rate is None else rate)
    server = Server(predictor, limits=limits, token=drawn, workers=threads)
    allow_files()
    with listen(host, port) as listening:
        where = listening.getsockname()[1]
        tell(f"{predictor.model.name} on {threads} threads; stop with Ctrl+C")
        for at in addresses(host):
            shown = f"[{at}]" if ":" in at else at
            # A token that was given is no secret of ours: it stays out of logs.
            told = "TOKEN" if token is not None else drawn
            tell(f"Open http://{shown}:{where}/{'' if told is None or token else f'#token={quote(told)}'}")
            key = "" if told is None else f" -H 'Authorization: Bearer {told}'"
            tell(f"curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg'{key} http://{shown}:{where}/v1/predict")
        if not local:
            tell("pictures cross the network as plain HTTP: use a proxy with TLS where the network is not yours")
        with quietly():
            run(
                create_app(server, hosts=names, addresses=not local),
                [listening],
                stop_s=limits.seconds,
                patience_s=_PATIENCE_S,
            )
