"""A user's own profile: what is read, and where the finger points when it is refused."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcptool.catalog.options import OPTIONS, Codec, Risk
from tcptool.catalog.profiles import BUILT_IN, BY_NAME, Profile
from tcptool.errors import UsageError
from tcptool.sansio.profile_file import MAX_BYTES, parse_profile

ROOT = Path(__file__).resolve().parents[3]
HEAD = 'name = "mine"\nsummary = "My own"\n'
PLAIN = HEAD + "[options]\nTCP_NODELAY = true\n"


def parse(text: str, name: str | None = None) -> Profile:
    return parse_profile(text.encode(), "mine.toml", name=name)


def refusal(raw: str | bytes, name: str | None = None) -> str:
    data = raw if isinstance(raw, bytes) else raw.encode()
    with pytest.raises(UsageError) as caught:
        parse_profile(data, "mine.toml", name=name)
    assert caught.value.doing == "reading profile mine.toml"
    assert caught.value.hint
    return caught.value.why


def test_a_profile_is_read() -> None:
    profile = parse(
        HEAD + "[options]\nnodelay = true\nTCP_CORK = false\nso_sndbuf = '1M'\nkeepcnt = 3\n"
        '[reasons]\nTCP_NODELAY = "small messages"\n',
        "mine",
    )
    assert (profile.name, profile.summary, profile.purpose) == ("mine", "My own", "")
    assert [(v.option, v.value, v.reason, v.source) for v in profile.values] == [
        ("TCP_NODELAY", "on", "small messages", "mine.toml"),
        ("TCP_CORK", "off", "", "mine.toml"),
        ("SO_SNDBUF", "1M", "", "mine.toml"),
        ("TCP_KEEPCNT", "3", "", "mine.toml"),
    ]


def test_the_example_of_the_documentation_is_a_profile() -> None:
    examples = re.findall(r"```toml\n(.*?)```", (ROOT / "docs/profiles.md").read_text(), re.DOTALL)
    (profile,) = [parse(text) for text in examples]
    assert profile.name == "orders"
    values = {value.option: value for value in profile.values}
    assert values["TCP_USER_TIMEOUT"].value == "20s"
    assert "20 s" in values["TCP_USER_TIMEOUT"].reason
    assert "SO_KEEPALIVE" in values


@pytest.mark.parametrize("base", BUILT_IN, ids=lambda base: base.name)
def test_a_profile_extends_another_in_its_order(base: Profile) -> None:
    changed = base.values[0].option
    profile = parse(
        HEAD + f'extends = "{base.name}"\n[options]\nSO_TXREHASH = false\n'
        f'{changed} = "{base.values[0].value}"\n'
    )
    options = [value.option for value in profile.values]
    assert options == [*(value.option for value in base.values), "SO_TXREHASH"]
    assert profile.values[0].source == profile.values[-1].source == "mine.toml"
    assert profile.values[1:-1] == base.values[1:]
    assert profile.host_advice == base.host_advice
    assert profile.program_advice == base.program_advice


def test_what_a_base_says_about_an_option_ends_where_it_is_set_anew() -> None:
    rpc = parse(HEAD + 'extends = "rpc"\n[options]\nSO_SNDBUF = "1M"\n')
    assert "SO_SNDBUF" not in [advice.what for advice in rpc.leave_alone]
    assert "SO_RCVBUF" in [advice.what for advice in rpc.leave_alone]
    guide = parse(HEAD + 'extends = "guide"\n[options]\nTCP_CORK = false\n')
    known = [flag.id for flag in BY_NAME["guide"].flags]
    assert [f.id for f in guide.flags] == known[1:-1]  # the last one is about the guide's program


@pytest.mark.parametrize(
    ("text", "why"),
    [
        # what is wrong with the document
        ('summary = "x"\n[options]\nTCP_NODELAY = true\n', "the key name is missing"),
        ('name = "mine"\n[options]\nTCP_NODELAY = true\n', "the key summary is missing"),
        (HEAD, "the table [options] is missing or empty"),
        (HEAD + "[options]\n", "the table [options] is missing or empty"),
        (HEAD + "option = 1\n", "line 3, option: there is no such key; did you mean options?"),
        ("\n" + PLAIN + "[extra]\n", "line 6, extra: there is no such key"),
        (HEAD + "options = 3\n", "line 3, options: it must be a table: [options]"),
        (HEAD + "[[options]]\n", "line 3, options: it must be a table"),
        (PLAIN + "[reasons.x]\n", "line 5, reasons.x: there is no such option"),
        # names and texts
        ('name = "My own"\n', "line 1, name: 'My own' is not a word of at most 40"),
        (f'name = "{"x" * 41}"\n', "line 1, name: 'xxx"),
        ('# c\nname = "rpc"\n', "line 2, name: 'rpc' is a profile of tcptool itself"),
        ("name = 3\n", "line 1, name: it must be one line of text in quotes"),
        ('name = "mine"\nsummary = " "\n', "line 2, summary: it must be one line of text"),
        ('name = "mine"\nsummary = """a\nb"""\n', "line 2, summary: it must be one line of text"),
        ('name = "mine"\nsummary = "\\u001b[2J"\n', "line 2, summary: it must be one line"),
        (PLAIN.replace("[", 'extends = "rcp"\n['), "line 3, extends: tcptool itself has no"),
        (PLAIN.replace("[", 'extends = "mine"\n['), "line 3, extends: tcptool itself has no"),
        # options
        (HEAD + "[options]\nTCP_NODELAI = true\n", "line 4, options.TCP_NODELAI: there is no such"),
        (PLAIN + "nodelay = true\n", "line 5, options.nodelay: TCP_NODELAY stands here twice"),
        (PLAIN + "SO_TYPE = 1\n", "line 5, options.SO_TYPE: it can be read only"),
        (PLAIN + "TCP_REPAIR = 1\n", "line 5, options.TCP_REPAIR: it is too dangerous"),
        (PLAIN + "TCP_KEEPCNT = true\n", "line 5, options.TCP_KEEPCNT: it is more than true or"),
        (PLAIN + "TCP_KEEPCNT = 1.5\n", "line 5, options.TCP_KEEPCNT: it must be one line of"),
        (PLAIN + "TCP_KEEPCNT = [\n 3]\n", "line 5, options.TCP_KEEPCNT: it must be one line of"),
        (PLAIN + 'TCP_CONGESTION = "a\\nb"\n', "line 5, options.TCP_CONGESTION: it must be one"),
        (PLAIN + 'TCP_KEEPIDLE = "soon"\n', "line 5, options.TCP_KEEPIDLE: 'soon' is not a"),
        (PLAIN + "TCP_KEEPIDLE = 0\n", "line 5, options.TCP_KEEPIDLE: the kernel takes at least 1"),
        (PLAIN + 'KEEPIDLE = "10h"\n', "line 5, options.KEEPIDLE: the kernel takes at least 1, at"),
        (PLAIN + "SO_BUSY_POLL = -1\n", "line 5, options.SO_BUSY_POLL: the kernel takes at"),
        (PLAIN + 'SO_BUF_LOCK = "all"\n', "line 5, options.SO_BUF_LOCK: 'all' is none of its"),
        # reasons
        (PLAIN + '[reasons]\nTCP_CORK = "x"\n', "line 6, reasons.TCP_CORK: it is not among the"),
        (PLAIN + "[reasons]\nnodelay = 1\n", "line 6, reasons.nodelay: it must be one line of"),
        # the same in other spellings of TOML
        (HEAD + "options.TCP_CROK = true\n", "line 3, options.TCP_CROK: there is no such"),
        (HEAD + "options = {TCP_CROK = true}\n", "line 3, options.TCP_CROK: there is no such"),
        (HEAD + '[ "options" ]\r\n\'TCP_CROK\' = 1\r\n', "line 4, options.TCP_CROK: there is no"),
        (HEAD + "[options]\n'a=b' = [\n]\n", "options.a=b: there is no such option"),
    ],
)  # fmt: skip
def test_a_refusal_names_line_and_key(text: str, why: str) -> None:
    assert refusal(text).startswith(why)


@pytest.mark.parametrize("line", ["TCP_MAXSEG = 0", "IP_TTL = -1", "SO_BUSY_POLL = 50"])
def test_a_number_that_the_kernel_takes_is_no_error(line: str) -> None:
    assert len(parse(PLAIN + line).values) == 2


def test_a_file_in_the_folder_has_the_name_of_its_profile() -> None:
    assert refusal(PLAIN, "other").startswith("line 1, name: 'mine' belongs into a file called")


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"name = \n", r"it is not TOML: .*line 1, column 8"),
        (b"a = 1\na = 2\n", r"it is not TOML: .*line 2"),
        (b"a = " + b"[" * 20_000, "it is not TOML: "),
        (b"a = " + b"9" * 5_000, "it is not TOML: "),
        (b"# ok\n# \xff\n", "line 2: it is not UTF-8"),
        (b"#" * (MAX_BYTES + 1), "it is longer than 65536 bytes"),
    ],
)
def test_what_is_no_document_at_all(raw: bytes, why: str) -> None:
    assert re.match(why, refusal(raw))


@pytest.mark.parametrize(
    "name", sorted(option.name for option in OPTIONS if option.risk is Risk.REFUSE)
)
def test_no_dangerous_option_gets_into_a_profile(name: str) -> None:
    why = refusal(HEAD + f"[options]\n{name} = 1\n")
    assert why.startswith(f"line 4, options.{name}: it ")


BOOLEANS = [
    o.name for o in OPTIONS if o.codec is Codec.BOOLEAN and o.settable and o.risk is Risk.SAFE
]


@given(st.dictionaries(st.sampled_from(BOOLEANS), st.booleans(), min_size=1), st.data())
def test_the_line_is_right_wherever_the_key_stands(
    options: dict[str, bool], data: st.DataObject
) -> None:
    comments = st.lists(st.sampled_from(["", "# [options]", "  # x = 1"]), max_size=3)
    lines = ['name = "mine"', 'summary = "My own"', "[options]"]
    for name, value in options.items():
        lines += [*data.draw(comments), f"{name} = {str(value).lower()}"]
    profile = parse("\n".join(lines))
    assert {v.option: v.value == "on" for v in profile.values} == options
    wrong = data.draw(st.sampled_from(sorted(options)))
    at = next(i for i, line in enumerate(lines) if line.startswith(f"{wrong} ="))
    lines[at] = f"{wrong} = 1.5"
    assert refusal("\n".join(lines)).startswith(f"line {at + 1}, options.{wrong}: ")


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_give_a_profile_or_a_usage_error(raw: bytes) -> None:
    for data in (raw, PLAIN.encode() + raw):
        with suppress(UsageError):
            assert parse_profile(data, "mine.toml").values


@given(st.text(max_size=30), st.text(max_size=30))
def test_no_text_of_a_profile_can_disturb_a_terminal(summary: str, value: str) -> None:
    text = (
        f'name = "mine"\nsummary = {json.dumps(summary)}\n'
        f"[options]\nTCP_CONGESTION = {json.dumps(value)}\n"
    )
    try:
        profile = parse(text)
    except UsageError:
        return
    assert profile.summary.isprintable()
    assert all(value.value.isprintable() for value in profile.values)
