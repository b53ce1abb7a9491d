"""Requests drawn at random: the forms of the pages and the fields of the code, in odd shapes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from random import Random
from urllib.parse import quote_from_bytes, urlencode
from uuid import UUID

from labeler.config import Settings
from labeler.web.access import cookie_name
from tests.conftest import SECRET

COOKIE = cookie_name("sidelight", Settings(Path(), "", SECRET))
MARK = "<zq-mark "  # markup that a page must never show as markup
LONG = "x" * 20_000
ODD_NUMBERS = tuple(
    str(number)
    for number in (
        *(0, -1, -(2**31) - 1, -(2**63) - 1),
        *(2**15, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**400),
        *("9" * 5_000, "0" * 5_000 + "1", "1.5", "1e400", "-0", "+1", "0x10", "1_000", " 1 "),
        *("NaN", "Infinity", "-inf", "٣", "¹", "1\0", "1;2", "1 or 1=1"),
    )
)
ODD_TEXTS = (
    *("", " ", "\0", "a\0b", "\ud800", "a\udfff", "\udcff", "\ufeff", "\u202egpj.exe\u202c"),
    *("مرحبا \u200f\u202b", "\U0010ffff" * 40, "e\u0301" * 300, "\x7f\x1b[31m", "a\r\nZq: 1"),
    *("\u2028", "\u3000", "%", "%00", "%s%n", "{{7*7}}", "${7*7}", "../../etc/passwd", "//[", "[]"),
    *("'", '"', "' OR '1'='1", "; DROP TABLE vote; --", "\\", "=1+1", "＝1+1", "null", "None"),
    *(f"{MARK}>", f'"{MARK}">', f"[a](javascript:{MARK})", f"`{MARK}>`", "# " * 500, "[" * 3_000),
    *("left", "center", "right", "unsure", "admin", "supervisor", "yes", "no", "on", "x" * 255),
    *(LONG, "é" * 9_000, "x" * 70_000, *ODD_NUMBERS),
)
ODD_JSON = (
    *("null", "true", "false", '""', "[]", "{}", "[[]]", '{"a": {"b": [1, {"c": null}]}}'),
    *('"\\ud800"', '"\\u0000"', '"\\u202e"', "1.5", "1e400", "-1e400", "NaN", "Infinity", "-0"),
    *("-1", str(2**31), str(2**63), str(10**400), "9" * 5_000, "1" * 4_300, "[" * 900 + "]" * 900),
    *('["left", "right"]', '"left"', json.dumps(LONG), json.dumps(f"{MARK}>"), "1", "0"),
)
ODD_BODIES = (
    *(b"", b"\0", b"\xff\xfe\x00", b"{", b"[", b'"', b"null", b"1", b"[1, 2]", b'{"count": 1'),
    *(
        b"[" * 60_000,
        b'{"a":' * 9_000,
        b'{"count": 1, "count": []}',
        b"\xef\xbb\xbf{}",
        b"x" * 70_000,
    ),
    *(
        b"&" * 3_000,
        b"a=1&" * 3_000,
        b"=" * 300,
        b"%",
        b"%zz=%zz",
        b"a" * 60_000 + b"=1",
        b"\r\n" * 99,
    ),
)
ODD_TYPES = (
    *("", "text/plain", "text/html", "application/xml", "application/json", "image/png", "*/*"),
    *("application/x-www-form-urlencoded", "multipart/form-data", "x", "/", ";", "a/b; charset"),
    *("application/json; charset=utf-16", "application/x-www-form-urlencoded; charset=utf-7"),
    *("multipart/form-data; boundary=", 'multipart/form-data; boundary="', "multipart/mixed"),
    *("multipart/form-data; boundary=" + "b" * 300, "application/vnd.api+json", "\xff\xfe"),
)
ODD_FILES = (
    *(b"", b"\0" * 99, b"\xff\xfea\0", b"\xef\xbb\xbffilename,label\n000001.jpg,left\n"),
    *(b"filename,label\n000001.jpg,left\n000001.jpg,right\n", b"filename,label\na\0.jpg,left\n"),
    *(b"filename,label,label\n1,2\n", b'filename,label\n"open,left\n', b"filename\r000002.jpg\r"),
    *(b"000001.jpg\n000002.jpg\n", b"000001.jpg\n" * 5_000, b"x" * 200_000, b",,,,\n" * 999),
    *(
        b'"' + b"y" * 140_000 + b'",left\n',
        b"filename,label,explanation\n000003.jpg,left,<zq-mark >\n",
    ),
    *(
        b"\x89PNG\r\n\x1a\n" + b"\0" * 60,
        b"PK\x03\x04" + b"\0" * 60,
        b"\xd9\x85\xe2\x80\xae,left\n",
    ),
)
ODD_FILE_NAMES = (
    *(
        "list.csv",
        "",
        "../../x.csv",
        "/etc/passwd",
        "a\0.csv",
        "\u202evsc.exe",
        "x" * 3_000,
        "C:\\x",
    ),
    *("\ud800.csv", 'a"b.csv', "a\r\nZq: 1", ".", "con", f"{MARK}>.csv"),
)
ODD_HEADERS = (
    *(("Accept", value) for value in ("application/json", "text/html", "*/*;q=x", "", "x" * 900)),
    *(("User-Agent", value) for value in ("", "\xff" * 900, f"{MARK}>", "x" * 9_000, "\x7f")),
    *(("X-Annotator", value) for value in ("1", "-1", "9" * 5_000, "x", "")),
    *(("X-Fragment", value) for value in ("1", "")),
    *(("Referer", value) for value in ("http://[", "https://evil.example/", "/", "x" * 900)),
    *(("Host", value) for value in ("evil.example", "[", "a b", "x" * 900, "")),
    *(("X-Forwarded-For", value) for value in ("127.0.0.1", "x, [", "::1" * 99)),
    *(("X-Forwarded-Host", value) for value in ("evil.example", "[")),
    *(("If-None-Match", value) for value in ("*", '"', "W/" * 99)),
    *(("If-Modified-Since", value) for value in ("x", "Thu, 32 Foo 99999 00:00:00 GMT")),
    *(("Range", value) for value in ("bytes=0-1", "bytes=9-1", "bytes=-" + "9" * 5_000, "x=1")),
    *(("Cookie", value) for value in (f"{COOKIE}=x", f"{COOKIE}=" + "." * 900, "\xff=\xff", ";;=")),
    *(("Authorization", value) for value in ("Basic x", "Basic /w==", "Bearer " + "x" * 900)),
    *(("Content-Encoding", value) for value in ("gzip", "x")),
    *(("X-HTTP-Method-Override", value) for value in ("DELETE",)),
)
# Values that make sense, for fields that stand on no page that was opened.
PLAUSIBLE = {
    **{"answer": "left", "label": "left", "decision": "left", "source": "model", "size": "24"},
    **{"count": "3", "then": "2", "elapsed_ms": "800", "image_id": "3", "min_votes": "1"},
    **{"role": "annotator", "max_uses": "2", "days": "3", "dataset": "1", "back": "/me"},
    **{"password": "correct horse battery", "current": "correct horse battery", "username": "ada"},
    **{"new": "another horse battery", "page": "1", "campaign": "1", "run": "1"},
}


@dataclass(frozen=True)
class Upload:
    """A file of a form."""

    name: str
    content: bytes


Fields = list[tuple[str, str | Upload]]


@dataclass
class Form:
    """A form of a page: where it leads, and what it sends if nobody changes it."""

    method: str
    action: str
    fields: Fields = field(default_factory=list)
    choices: dict[str, list[str]] = field(default_factory=dict)  # by field with several values


class _Forms(HTMLParser):
    def __init__(self, address: str) -> None:
        super().__init__()
        self.address, self.found, self._select, self._area = address, list[Form](), "", ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {key: value or "" for key, value in attrs}
        if tag == "form":
            action = said.get("action") or self.address
            self.found.append(Form(said.get("method", "get").upper(), action))
        if not self.found or tag not in ("input", "button", "select", "option", "textarea"):
            return
        form, name, value = self.found[-1], said.get("name", ""), said.get("value", "")
        if tag == "select":
            self._select = name
        elif tag == "textarea":
            self._area = name
            form.fields.append((name, ""))
        elif tag == "option" and self._select:
            form.choices.setdefault(self._select, []).append(value)
        elif name and said.get("type") == "file":
            form.fields.append((name, Upload("", b"")))
        elif name and (tag == "button" or said.get("type") in ("radio", "checkbox")):
            form.choices.setdefault(name, []).append(value or "on")
        elif name:
            form.fields.append((name, value))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("select", "textarea"):
            self._select = self._area = ""

    def handle_data(self, data: str) -> None:
        if self._area and self.found:
            self.found[-1].fields[-1] = (self._area, data)


def forms_of(page: str, address: str) -> list[Form]:
    """The forms of a page. A button beside a form counts to the form before it."""
    reader = _Forms(address)
    reader.feed(page)
    return [each for each in reader.found if each.method in ("GET", "POST")]


def filled(rng: Random, form: Form) -> Fields:
    """What a browser sends if a person makes choices and writes something into empty fields."""
    sent = list(form.fields)
    sent += [(name, rng.choice(values)) for name, values in form.choices.items()]
    return [(name, fresh(rng, name, value)) for name, value in sent if name != "csrf_token"]


def guessed(rng: Random, names: Iterable[str]) -> Fields:
    """Sensible values for the fields that a view reads."""
    return [(name, fresh(rng, name, PLAUSIBLE.get(name, ""))) for name in names]


def fresh(rng: Random, name: str, value: str | Upload) -> str | Upload:
    """The value, or another of its kind where a repetition would change nothing."""
    if isinstance(value, Upload):
        sound = f"filename,label\n{rng.randrange(30, 50):06d}.jpg,left\n".encode()
        return Upload("list.csv", rng.choice((b"", sound))) if rng.random() < 0.7 else odd_file(rng)
    if name == "request_id" and rng.random() < 0.8:
        return str(UUID(int=rng.getrandbits(128)))
    if value == "" and rng.random() < 0.7:
        drawn = PLAUSIBLE.get(name, f"text {rng.randrange(10_000)}")
        return rng.choice((drawn, drawn, str(rng.randrange(30))))
    return value


def odd_file(rng: Random) -> Upload:
    return Upload(rng.choice(ODD_FILE_NAMES), rng.choice(ODD_FILES))


def mutated(rng: Random, fields: Fields, known: list[str]) -> Fields:
    """The fields with one to three changes: missing, doubled, empty, odd, renamed or new ones."""
    changed = list(fields)
    for _ in range(rng.choice((1, 1, 2, 3))):
        place = rng.randrange(len(changed)) if changed else 0
        name = changed[place][0] if changed else rng.choice([*known, "new"])
        odd: str | Upload = rng.choice(ODD_TEXTS) if rng.random() < 0.9 else odd_file(rng)
        match rng.choice(("odd", "odd", "odd", "missing", "doubled", "renamed", "new")):
            case "odd" if changed:
                changed[place] = (name, odd)
            case "missing" if changed:
                del changed[place]
            case "doubled" if changed:
                changed.insert(rng.choice((place, len(changed))), (name, odd))
            case "renamed" if changed:
                number = rng.choice(ODD_NUMBERS)
                other = re.sub(r"\d+", lambda _: number, name)  # noqa: B023  used at once
                changed[place] = (other if other != name else f"{name}[]", changed[place][1])
            case _:
                changed.append((rng.choice([*known, rng.choice(ODD_TEXTS)]), odd))
    return changed


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def as_query(fields: Fields) -> str:
    """The fields as the query of an address, without files."""
    plain = [(_raw(name), _raw(value)) for name, value in fields if isinstance(value, str)]
    return urlencode(plain, quote_via=lambda raw, *_: quote_from_bytes(raw))  # type: ignore[arg-type]


def as_form(fields: Fields) -> tuple[str, bytes]:
    """Content type and body of a plain form."""
    return "application/x-www-form-urlencoded", as_query(fields).encode()


def as_multipart(fields: Fields) -> tuple[str, bytes]:
    """Content type and body of a form with files."""
    parts = []
    for name, value in fields:
        head = b'Content-Disposition: form-data; name="%s"' % _raw(name)
        if isinstance(value, Upload):
            head += b'; filename="%s"\r\nContent-Type: text/csv' % _raw(value.name)
        content = value.content if isinstance(value, Upload) else _raw(value)
        parts.append(b"--limit\r\n" + head + b"\r\n\r\n" + content + b"\r\n")
    return "multipart/form-data; boundary=limit", b"".join(parts) + b"--limit--\r\n"


def as_json(rng: Random, fields: Fields, odd: bool) -> tuple[str, bytes]:
    """Content type and body of JSON; numbers stand as numbers."""
    literals = {name: _literal(value) for name, value in fields if isinstance(value, str)}
    if odd and literals:
        literals[rng.choice([*literals])] = rng.choice(ODD_JSON)
    body = ", ".join(f"{json.dumps(name)}: {text}" for name, text in literals.items())
    return "application/json", f"{{{body}}}".encode()


def _literal(value: str) -> str:
    return value if re.fullmatch(r"0|[1-9][0-9]{0,9}", value) else json.dumps(value)


def broken(rng: Random, fields: Fields) -> tuple[str, bytes]:
    """A body that is cut off, of another type than it says, or of no type at all."""
    encode = rng.choice((as_form, as_multipart, as_multipart, lambda it: as_json(rng, it, True)))
    kind, body = encode(fields)
    match rng.choice(("cut", "type", "body", "bytes", "head", "boundary")):
        case "cut":
            return kind, body[: rng.randrange(len(body) + 1)]
        case "type":
            return rng.choice(ODD_TYPES), body
        case "body":
            return rng.choice((kind, *ODD_TYPES)), rng.choice(ODD_BODIES)
        case "bytes":
            place = rng.randrange(len(body) + 1)
            return kind, body[:place] + rng.randbytes(rng.randrange(1, 60)) + body[place:]
        case "head":
            odd = rng.choice((b"", b"x" * 9_000, b"name=\xff", b"form-data; name", b"name*=x''%ff"))
            return kind, body.replace(b"form-data; name=", odd, rng.choice((1, -1)))
    return kind.replace("limit", rng.choice(("other", "", "limi", "\xe9"))), body
