"""``python -m infra.city serve``: make or continue the city and serve its hospitals."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import uvicorn

from infra.city.city import City
from infra.city.given import GivenHospital
from infra.city.messages.voices import BY_NAME
from infra.city.options import Options
from infra.city.pharmacies.database import chain_database
from infra.city.surroundings.given_air import GivenAir
from infra.city.web import ServerOptions, make_app, make_servers
from infra.city.web.open_data import FEEDS
from jobs.errors import CitywellError
from jobs.settings import settings


def parser() -> argparse.ArgumentParser:
    s = settings()
    main = argparse.ArgumentParser(prog="python -m infra.city", description="The city simulator of Citywell.")
    commands = main.add_subparsers(dest="command", required=True)
    for name, words in (
        ("serve", "make or continue the city and serve it"),
        ("make", "make or continue the city and leave"),
    ):
        p = commands.add_parser(name, help=words, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        p.add_argument(
            "--home", type=Path, default=s.home, help="data directory; the city lives in its city/"
        )
        p.add_argument("--population", type=int, default=s.city_population, help="people at the start")
        p.add_argument("--seed", type=int, default=s.city_seed)
        p.add_argument(
            "--years", type=float, default=s.city_years, help="years of history before the clock starts"
        )
        p.add_argument("--now", default=Options.now, help="first instant of the clock, a UTC midnight")
        p.add_argument("--admission-factor", type=float, default=1.0, help="multiplies hospital admissions")
        p.add_argument("--admission-rich", action="store_true", help="the same as --admission-factor 4")
        p.add_argument(
            "--dirt", type=float, default=1.0, help="multiplies the rates of planted dirt; 0 for none"
        )
    p = commands.choices["serve"]
    p.add_argument("--host", default=s.host)
    p.add_argument("--port", type=int, default=s.city_port)
    p.add_argument(
        "--hospital-data",
        type=Path,
        default=s.hospital_data,
        help="directory of *.ndjson[.gz] served as 'given'",
    )
    p.add_argument("--only-given", action="store_true", help="serve the directory alone, generate no city")
    p.add_argument(
        "--air-data",
        type=Path,
        help="directory of the Beijing readings, served below /beijing (see surroundings)",
    )
    p.add_argument("--token-seconds", type=int, default=300, help="life of an access token")
    p.add_argument("--link-seconds", type=float, default=3600.0, help="life of the links of an export")
    p.add_argument("--export-seconds", type=float, default=0.5, help="an export takes at least so long")
    p.add_argument(
        "--pharmacy-database",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="fill the pharmacy chain's database in the PostgreSQL of that home, if there is one",
    )
    p.add_argument(
        "--hl7",
        type=_listener,
        action="append",
        default=[],
        metavar="SENDER=HOST:PORT",
        help=f"where {', '.join(BY_NAME)} sends its HL7 messages over MLLP; without it they only queue",
    )
    p.add_argument("--faults", type=Path, help="JSON file of faults to start with (see infra/city/faults.py)")
    return main


def _listener(text: str) -> tuple[str, tuple[str, int]]:
    """The sender and the address in ``north=127.0.0.1:6661``."""
    sender, _, address = text.partition("=")
    host, _, port = address.rpartition(":")
    if sender not in BY_NAME or not host or not port.isdecimal():
        raise argparse.ArgumentTypeError(f"give SENDER=HOST:PORT with one of {', '.join(BY_NAME)}")
    return sender, (host, int(port))


def say(words: str) -> None:
    """Progress, seen at once in a terminal and in a log."""
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def open_city(args: argparse.Namespace) -> City:
    options = Options(
        population=args.population,
        seed=args.seed,
        years=args.years,
        now=args.now,
        admission_factor=4.0 if args.admission_rich else args.admission_factor,
        dirt=args.dirt,
    )
    return City.open(args.home / "city", options, say)


def serve(args: argparse.Namespace) -> None:
    given = None
    if args.hospital_data is not None:
        given = GivenHospital(args.hospital_data, args.home / "city" / "given_surveys.json", say)
    elif args.only_given:
        raise CitywellError(
            "there is nothing to serve", where="--only-given", do="give --hospital-data DIR as well"
        )
    given_air = GivenAir.read(args.air_data) if args.air_data is not None else None
    city = None if args.only_given else open_city(args)
    if city is not None and args.pharmacy_database:
        here = settings().model_copy(update={"home": args.home})
        city.open_pharmacy(chain_database(here.postgres_dsn, city.options, say), say)
    options = ServerOptions(
        home=args.home,
        token_seconds=args.token_seconds,
        link_seconds=args.link_seconds,
        export_seconds=args.export_seconds,
        hl7_listeners=dict(args.hl7),
    )
    (args.home / "city").mkdir(parents=True, exist_ok=True)
    servers = make_servers(options, city, given, given_air)
    if args.faults is not None:
        servers.faults.add(args.faults.read_bytes())
    for name, site in servers.sites.items():
        say(f"{site.hospital.habits.title}: http://{args.host}:{args.port}/{name}/fhir")
    apis = [
        *(FEEDS if city is not None else ()),
        *(("beijing/air", "beijing/weather") if given_air is not None else ()),
    ]
    for api in apis:
        say(f"{api}: http://{args.host}:{args.port}/{api}/v1")
    uvicorn.run(
        make_app(servers),
        host=args.host,
        port=args.port,
        log_level="warning",
        date_header=False,
        access_log=False,
    )


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        if args.command == "serve":
            serve(args)
        else:
            open_city(args).close()
    except CitywellError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
