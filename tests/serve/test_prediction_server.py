from __future__ import annotations

import base64
import gzip
import io
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("prometheus_client")
pytest.importorskip("python_multipart")

from fastapi.testclient import TestClient  # noqa: E402
from PIL import Image  # noqa: E402

from mien.predict import FaceRow, Predictor  # noqa: E402
from mien.serve.app import Limits, Server, create_app  # noqa: E402
from photographs import HOPPER, group_photograph  # noqa: E402

JPEG = {"content-type": "image/jpeg"}
TABLE = "label,pred,gender\n" + "".join(
    f"{'ab'[i % 2]},{'ab'[(i % 2) ^ (i % 7 == 0)]},{'fm'[i % 3 == 0]}\n" for i in range(400)
)


def client_of(**settings: object) -> TestClient:
    server = Server(Predictor.load(threads=1), workers=2, **settings)  # type: ignore[arg-type]
    return TestClient(create_app(server, hosts=("testserver",)), raise_server_exceptions=False)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with client_of() as made:
        yield made


def test_one_picture_is_the_body(client: TestClient) -> None:
    answer = client.post("/v1/predict", content=HOPPER.read_bytes(), headers=JPEG)
    assert answer.status_code == 200
    (row,) = answer.json()["rows"]
    (own,) = Predictor.load().predict([HOPPER])
    for key in ("face", "box", "landmarks", "top", "abstained", "model_sha256"):
        assert row[key] == own.as_json()[key]
    for name, p in own.probabilities.items():
        assert row["probabilities"][name] == pytest.approx(p, abs=1e-4)
    assert answer.headers["cache-control"] == "no-store"


def test_several_pictures_by_form_and_by_json(client: TestClient) -> None:
    group = io.BytesIO()
    Image.fromarray(group_photograph()).save(group, "PNG")
    files = [
        ("files", ("h.jpg", HOPPER.read_bytes())),
        ("files", ("g.png", group.getvalue())),
        ("files", ("t.txt", b"text")),
    ]
    form = client.post("/v1/predict", files=files)
    assert form.status_code == 200
    assert [row["image"] for row in form.json()["rows"]] == ["h.jpg", *["g.png"] * 5, "t.txt"]
    assert "cannot be decoded (it is no picture of a known format)" in form.json()["rows"][-1]["reason"]
    pictures = [{"name": name, "data": base64.b64encode(data).decode()} for _, (name, data) in files]
    again = client.post("/v1/predict", json={"pictures": pictures}).json()["rows"]
    assert [r["top"] for r in again] == [r["top"] for r in form.json()["rows"]]


@pytest.mark.parametrize(
    ("content", "headers", "status", "said"),
    [
        (b"", JPEG, 400, "holds no picture"),
        (b"x", {"content-type": "text/plain"}, 415, "send a picture"),
        (b"{", {"content-type": "application/json"}, 400, "no JSON"),
        (b"[" * 9_000, {"content-type": "application/json"}, 400, "JSON"),
        (b'{"pictures": [{"data": 3}]}', {"content-type": "application/json"}, 400, "pictures.0.data"),
        (b'{"pictures": [{"data": "%%"}]}', {"content-type": "application/json"}, 400, "is no base64"),
        (
            json.dumps({"pictures": [{"data": ""}] * 33}).encode(),
            {"content-type": "application/json"},
            413,
            "32 pictures",
        ),
        (b"x", {"content-type": "multipart/form-data"}, 400, "form cannot be read"),
        (b"--b\r\nnothing", {"content-type": "multipart/form-data; boundary=b"}, 400, "holds no picture"),
        (b"x" * (20 << 20) + b"x", JPEG, 413, "bytes"),
    ],
    ids=["empty", "type", "json", "deep", "data", "base64", "many", "boundary", "form", "large"],
)
def test_wrong_requests_are_told_as_problems(
    client: TestClient, content: bytes, headers: dict[str, str], status: int, said: str
) -> None:
    answer = client.post("/v1/predict", content=content, headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["status"] == status
    assert said in told["detail"]


def test_a_bomb_is_a_row_and_is_not_decoded() -> None:
    bomb = io.BytesIO()
    Image.new("1", (3000, 3000)).save(bomb, "PNG")
    with client_of(limits=Limits(pixels=1_000_000)) as small:
        (row,) = small.post("/v1/predict", content=bomb.getvalue(), headers={"content-type": "image/png"}).json()[
            "rows"
        ]
    assert "has 3,000x3,000 pixels" in row["reason"]


def test_hostile_bodies_are_never_an_error_of_the_server(client: TestClient) -> None:
    rng, whole = random.Random(0), HOPPER.read_bytes()
    for i in range(60):
        body = bytearray(whole[: rng.randrange(1, len(whole))])
        for _ in range(rng.randrange(0, 40)):
            body[rng.randrange(len(body))] = rng.randrange(256)
        kind = rng.choice(["image/jpeg", "application/json", "multipart/form-data; boundary=a", "image/svg+xml", "x/y"])
        answer = client.post("/v1/predict", content=bytes(body), headers={"content-type": kind})
        assert answer.status_code < 500, (i, kind, answer.text)
    assert client.post("/v1/predict", content=whole, headers=JPEG).json()["rows"][0]["top"] == "neutral"


def test_the_token_is_asked_for() -> None:
    with client_of(token="open sesame") as guarded:
        paths = [("post", "/v1/predict"), ("post", "/v1/audit"), ("get", "/v1/models"), ("get", "/metrics")]
        for method, path in paths:
            answer = guarded.request(method, path)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert guarded.request(method, path, headers={"authorization": "Bearer open"}).status_code == 401
        key = {"authorization": "Bearer open sesame"}
        assert guarded.get("/v1/models", headers=key).status_code == 200
        assert guarded.get("/healthz").status_code == 200  # those who watch it know no token


def test_too_many_pictures_are_sent_away() -> None:
    server = Server(Predictor.load(threads=1), limits=Limits(room=1))
    with TestClient(create_app(server, hosts=("testserver",))) as full:
        files = [("files", (f"{i}.jpg", b"x")) for i in range(2)]
        assert full.post("/v1/predict", files=files).status_code == 413  # it never has room for two
        with server.room.taking(1):
            answer = full.post("/v1/predict", files=files[:1])
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert full.post("/v1/predict", files=files[:1]).status_code == 200
        half = server.bodies.each
        with server.bodies.taking(half, "a"), server.bodies.taking(half, "b"):  # the bytes of others
            assert full.post("/v1/predict", files=files[:1]).status_code == 503
        assert (server.room.taken, server.bodies.taken) == (0, 0)
    with client_of(limits=Limits(per_s=0.1)) as slow:
        assert [slow.post("/v1/predict", content=b"x", headers=JPEG).status_code for _ in range(2)] == [200, 429]
    with client_of(limits=Limits(seconds=0.0)) as late:
        assert late.post("/v1/predict", content=HOPPER.read_bytes(), headers=JPEG).status_code == 503


def test_other_names_and_pages_may_not_ask(client: TestClient) -> None:
    other = client.get("/v1/models", headers={"host": "evil.example"})
    assert other.status_code == 403
    assert other.json()["title"] == "Forbidden"
    assert client.get("/v1/models", headers={"origin": "https://evil.example"}).status_code == 403


def test_a_table_in_and_an_audit_out(client: TestClient) -> None:
    found = client.post("/v1/audit?by=gender", content=TABLE, headers={"content-type": "text/csv"})
    assert found.status_code == 200
    assert "gender" in json.dumps(found.json())
    page = client.post("/v1/audit?by=gender", content=TABLE, headers={"accept": "text/html"})
    assert page.text.startswith("<!")
    assert "gender" in page.text
    for content, by, said in ((TABLE, "race", "race"), ("a,b\n1,2\n", "", "predictions.csv")):
        wrong = client.post(f"/v1/audit?by={by}", content=content)
        assert wrong.status_code == 422
        assert said in wrong.json()["detail"]
        assert "/tmp" not in wrong.json()["detail"]
    assert client.post("/v1/audit").status_code == 400
    assert "/tmp" not in found.text + page.text
    for packed in (gzip.compress(TABLE.encode()), b"PAR1" + bytes(100), b'[{"label": 1}]'):
        assert client.post("/v1/audit", content=packed).status_code == 422
    assert client.post("/v1/audit", content=b"a" * (5 << 20) + b"b").status_code == 413
    assert client.post(f"/v1/audit?by={','.join('abcdefghi')}", content=TABLE).status_code == 422


def test_a_table_with_numbers_that_no_computer_counts_in(client: TestClient) -> None:
    rows = TABLE.splitlines()
    wide = "\n".join([f"{rows[0]},id", *(f"{row},{10**22 + i}" for i, row in enumerate(rows[1:]))])
    answer = client.post("/v1/audit?by=gender", content=wide.encode(), headers={"content-type": "text/csv"})
    assert answer.status_code == 200, answer.text


def test_an_audit_has_its_time_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with client_of(limits=Limits(audit_seconds=0.05)) as short:
        answer = short.post("/v1/audit?by=gender", content=TABLE, headers={"content-type": "text/csv"})
        assert answer.status_code == 503
        assert "took more than 0.05 seconds" in answer.json()["detail"]
        assert not list(tmp_path.iterdir())
        assert short.get("/healthz").status_code == 200


def test_fields_of_a_form_are_short_and_files_few(client: TestClient) -> None:
    began = time.monotonic()
    body = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"a" * 400_000 + b"\r\n--x--\r\n"
    headers = {"content-type": "multipart/form-data; boundary=x; charset=punycode"}
    assert client.post("/v1/predict", content=body, headers=headers).status_code == 400
    assert time.monotonic() - began < 3
    many = [("files", (f"{i}.jpg", b"x")) for i in range(33)]
    answer = client.post("/v1/predict", files=many)
    assert (answer.status_code, answer.json()["detail"]) == (413, "A request may hold 32 pictures.")


@pytest.mark.parametrize("part", [b"[],", b"{},", b'"",', b"1,"])
def test_large_json_of_nothing_is_refused_before_it_is_read(client: TestClient, part: bytes) -> None:
    body = b'{"pictures": [' + part * 3_000_000 + b"0]}"
    began = time.monotonic()
    answer = client.post("/v1/predict", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["detail"] == "The body has more than 10,000 brackets, commas and quotation marks."
    assert time.monotonic() - began < 1
    # A picture may be as large as ever, and a name hold what it likes.
    whole = {"pictures": [{"name": "[a, b] " * 9, "data": base64.b64encode(HOPPER.read_bytes()).decode()}] * 32}
    assert client.post("/v1/predict", json=whole).status_code == 200


def test_crops_and_risk_are_asked_for_by_request(client: TestClient) -> None:
    crop = io.BytesIO()
    Image.open(HOPPER).crop((170, 100, 380, 310)).save(crop, "PNG")
    (row,) = client.post("/v1/predict?crops=true", content=crop.getvalue(), headers=JPEG).json()["rows"]
    (own,) = Predictor.load(detector=None).predict(crop.getvalue())
    assert (row["box"], row["top"], row["face"]) == (None, own.top, 0)
    assert row["probabilities"] == pytest.approx(own.probabilities, abs=1e-4)
    asked = client.post("/v1/predict?risk=0", content=HOPPER.read_bytes(), headers=JPEG).json()["rows"]
    (due,) = Predictor.load(risk=0).predict(HOPPER)
    assert [(r["abstained"], r["reason"]) for r in asked] == [(due.abstained, due.reason)]
    assert due.abstained  # no confidence promises that none is wrong
    again = client.post("/v1/predict", content=HOPPER.read_bytes(), headers=JPEG).json()["rows"]
    assert [r["abstained"] for r in again] == [False]
    for wrong, said in (("risk=1.5", "risk: 1.5, expected a share"), ("risk=few", "risk: Input should be"),
                        ("crops=perhaps", "crops: Input should be")):  # fmt: skip
        answer = client.post(f"/v1/predict?{wrong}", content=HOPPER.read_bytes(), headers=JPEG)
        assert (answer.status_code, said in answer.json()["detail"]) == (422, True)


def test_the_description_has_the_schema_of_all_that_is_answered(client: TestClient) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    told = client.get("/openapi.json").json()
    schemas = told["components"]["schemas"]
    assert set(schemas) == {"FaceRow", "Problem"}
    group = io.BytesIO()
    Image.fromarray(group_photograph()).save(group, "PNG")
    files = [("files", (name, data)) for name, data in (("g.png", group.getvalue()), ("t.txt", b"text"))]
    rows = client.post("/v1/predict", files=files).json()["rows"]
    refusal = client.post("/v1/predict", content=b"x", headers={"content-type": "text/plain"})
    for content, name in (*((row, "FaceRow") for row in rows), (refusal.json(), "Problem")):
        jsonschema.validate(content, schemas[name], jsonschema.Draft202012Validator)
    example = told["paths"]["/v1/predict"]["post"]["responses"]["200"]["content"]["application/json"]["example"]
    jsonschema.validate(example["rows"][0], schemas["FaceRow"], jsonschema.Draft202012Validator)
    assert FaceRow.__dataclass_fields__.keys() - {"age_years"} <= schemas["FaceRow"]["properties"].keys()
    for path, operation in ((p, o) for p, of in told["paths"].items() for o in of.values()):
        assert "security" not in operation
        assert all(code == "200" or "problem+json" in str(a["content"]) for code, a in operation["responses"].items())
        assert path != "/v1/predict" or {"400", "413", "415", "422", "429", "503"} < set(operation["responses"])
    with client_of(token="secret") as guarded:
        told = guarded.get("/openapi.json").json()
        assert told["components"]["securitySchemes"] == {"token": {"type": "http", "scheme": "bearer"}}
        assert told["paths"]["/v1/predict"]["post"]["security"] == [{"token": []}]
        assert told["paths"]["/healthz"]["get"]["security"] == []


def test_it_says_what_it_is_and_counts_what_it_did(client: TestClient) -> None:
    client.post("/v1/predict", content=HOPPER.read_bytes(), headers=JPEG)
    assert client.get("/readyz").status_code == 200
    told = client.get("/v1/models").json()
    assert told["models"][0]["sha256"] == Predictor.load().sha256
    assert "perceive" in told["notice"]
    counts = client.get("/metrics").text
    assert 'mien_requests_total{path="/v1/predict",status="200"}' in counts
    assert 'mien_faces_total{answer="told"}' in counts
    assert "mien_pictures_in_the_house 0.0" in counts
    assert "/v1/predict" in client.get("/openapi.json").json()["paths"]
    client.get("/nothing/of/the/kind")
    assert client.get("/v1/predict").headers["allow"] == "POST"
    assert "/nothing" not in client.get("/metrics").text
    assert client.get("/nothing").headers["content-type"] == "application/problem+json"
