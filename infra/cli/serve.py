"""``citywell serve``."""

from __future__ import annotations

from typing import Annotated

import typer

LOOPBACK = "127.0.0.1"
EXAMPLE = (
    "curl -s -H 'Content-Type: application/json' http://{host}:{port}/invocations "
    '-d \'{{"dataframe_records": [{{"person_key": "…", "question": "{question}"}}]}}\''
)


def serve(
    port: Annotated[int, typer.Option(min=1, max=65535, help="On this machine's loopback address.")] = 5502,
) -> None:
    """Answer questions about one person at a time, by the champions, over MLflow's scoring protocol.

    Features are looked up by person, as the last scoring made them; the answer is the batch's. Ctrl-C ends it.

    Example: citywell serve --port 5502
    """
    import uvicorn

    from ml import serving
    from ml.risk import questions

    with serving.app(questions.names()) as app:
        typer.echo(f"Answers at http://{LOOPBACK}:{port}/invocations, for example:")
        typer.echo(EXAMPLE.format(host=LOOPBACK, port=port, question=questions.names()[0]))
        uvicorn.run(app, host=LOOPBACK, port=port, log_level="warning")
