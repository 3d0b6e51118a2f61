"""The real Claude Code, both versions, against a scripted Messages API: work, verdicts, and what it is denied."""

import json
import os
from pathlib import Path

import pytest

from agent.demo.turns import Answer, Call, by_answers, call, in_order, prompt_of, verdict
from agent.errors import PodTrouble, TicketFailure
from agent.programs.claude import NO_KEY
from agent.programs.survivors import marked
from agent.programs.verdict import ModelTrouble
from support.claude_cli import PROMPT, Session, claude_cli, in_proof, session

__all__ = ["claude_cli", "session"]


async def test_it_writes_a_file_runs_a_command_and_gives_its_verdict(session: Session) -> None:
    api = session.api(
        by_answers(
            call("Write", file_path="hello.txt", content="hello\n"),
            call("Bash", command="cat hello.txt; wc -c < hello.txt > size"),
            verdict("done", "Wrote `hello.txt`."),
        )
    )
    result = await session.run()
    assert (result.verdict, result.summary, result.question) == ("done", "Wrote `hello.txt`.", "")
    assert (result.input_tokens, result.output_tokens) == (300, 60)
    assert result.turns >= 3
    assert 0 < result.duration_s < 20
    assert (session.tree / "hello.txt").read_text() == "hello\n"
    assert (session.tree / "size").read_text().strip() == "6"
    assert api.seen[2].results() == ["hello"]
    assert len(api.seen) == 3


@pytest.mark.parametrize("name", ["stuck", in_proof("already_done")])
async def test_each_verdict_comes_back_with_its_question(session: Session, name: str) -> None:
    api = session.api(in_order(verdict(name, "I looked.", question="Which file?")))
    result = await session.run()
    assert (result.verdict, result.summary, result.question) == (name, "I looked.", "Which file?")
    assert len(api.seen) == 1


async def test_files_can_be_read_searched_and_edited(session: Session) -> None:
    (session.tree / "shop.py").write_text("price = 1\n")
    api = session.api(
        by_answers(
            Answer(calls=(Call("Grep", {"pattern": "price"}), Call("Glob", {"pattern": "*.py"}))),
            call("Read", file_path="shop.py"),
            call("Edit", file_path="shop.py", old_string="1", new_string="2"),
            verdict("done"),
        )
    )
    await session.run()
    assert (session.tree / "shop.py").read_text() == "price = 2\n"
    assert ["shop.py" in one for one in api.seen[1].results()] == [True, True]
    assert len(api.seen) == 4


@pytest.mark.parametrize("command", [in_proof("git status"), "cd . && /usr/bin/git -C . commit -m x"])
async def test_git_is_denied_and_the_run_goes_on(session: Session, command: str) -> None:
    api = session.api(by_answers(call("Bash", command=command), verdict("stuck")))
    await session.run()
    assert "denied" in api.seen[1].results()[0]
    assert len(api.seen) == 2


async def test_the_web_child_agents_and_other_tools_are_not_there(session: Session) -> None:
    calls = (
        Call("WebFetch", {"url": "http://127.0.0.1:9/", "prompt": "x"}),
        Call("WebSearch", {"query": "x"}),
        Call("Task", {"description": "x", "prompt": "x", "subagent_type": "general-purpose"}),
        Call("Agent", {"description": "x", "prompt": "x", "subagent_type": "general-purpose"}),
        Call("Skill", {"skill": "init"}),
    )
    api = session.api(by_answers(Answer(calls=calls), verdict("stuck")))
    await session.run()
    assert ["No such tool" in one for one in api.seen[1].results()] == [True] * len(calls)
    offered = {one["name"] for one in api.seen[0].body["tools"]}
    assert offered == {"Bash", "Edit", "Glob", "Grep", "Read", "StructuredOutput", "Write"}
    assert len(api.seen) == 2


async def test_it_writes_only_in_its_working_directory_and_not_what_configures_git_or_itself(
    session: Session, tmp_path: Path
) -> None:
    (session.tree / "out").symlink_to(tmp_path)
    places = [tmp_path / "outside", Path("out/through"), Path(".git/config"), Path(".claude/settings.json")]
    calls = tuple(Call("Write", {"file_path": str(one), "content": "x"}) for one in places)
    api = session.api(by_answers(Answer(calls=calls), verdict("stuck")))
    await session.run()
    assert len(api.seen[1].results()) == 4
    assert not any((session.tree / one).exists() for one in places)
    assert len(api.seen) == 2


async def test_it_is_asked_with_a_dummy_key_for_the_model_that_the_settings_name(session: Session) -> None:
    session.change(model="claude-of-the-future")
    api = session.api(in_order(verdict("done")))
    await session.run()
    seen = api.seen[0]
    assert (seen.headers["x-api-key"], seen.body["model"]) == (NO_KEY, "claude-of-the-future")
    assert "authorization" not in seen.headers
    assert api.others == []  # nothing but the one request: no preconnect, no telemetry


async def test_the_model_sees_an_allow_list_of_variables(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_MODEL_KEY", "hunter2hunter2")
    session.api(by_answers(call("Bash", command="env -0 > env"), verdict("done")))
    await session.run()
    seen = dict(one.split("=", 1) for one in (session.tree / "env").read_text().split("\0") if one)
    job = session.runner.ran[0][0]
    assert {name: seen.get(name) for name in job.env if name not in ("PATH", "TMPDIR")} == {
        name: value for name, value in job.env.items() if name not in ("PATH", "TMPDIR")
    }
    assert "hunter2" not in json.dumps(seen)
    assert "HOME" in os.environ
    assert seen["HOME"] == str(session.home)


async def test_the_prompt_is_not_visible_to_others(session: Session) -> None:
    api = session.api(in_order(verdict("done")))
    long = PROMPT + " Grüße, <b>\n" * 20_000
    await session.run(long)
    assert prompt_of(api.seen[0].body).rstrip().endswith(long.rstrip())
    assert not any(PROMPT in one for one in session.argv())


@pytest.mark.parametrize("word", ["/help", in_proof("/model x"), in_proof("/nonexistent")])
async def test_a_prompt_that_looks_like_a_command_is_a_task(session: Session, word: str) -> None:
    api = session.api(in_order(verdict("done")))
    assert (await session.run(word)).verdict == "done"
    assert word in prompt_of(api.seen[0].body)
    assert len(api.seen) == 1


async def test_a_path_in_a_prompt_is_not_read_in(session: Session, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("the canary sings")
    (session.tree / "mine").write_text("the canary sings")
    api = session.api(in_order(verdict("done")))
    await session.run(f'@{tmp_path}/secret\nsee @mine and @"mine" and (@mine), @./mine, or\u00a0@mine')
    assert "canary" not in json.dumps(api.seen[0].body)
    assert len(api.seen) == 1


async def test_what_a_repository_configures_does_not_run(session: Session, tmp_path: Path) -> None:
    touch = f"touch {tmp_path}/ran"
    hook = {"hooks": [{"type": "command", "command": touch}]}
    names = ("SessionStart", "UserPromptSubmit", "PreToolUse", "Stop", "SessionEnd")
    settings = {
        "hooks": {name: [{"matcher": "", **hook}] for name in names},
        "env": {"PLANTED": "1"},
        "apiKeyHelper": touch,
        "permissions": {"allow": ["Bash(git:*)", "WebFetch"]},
        "enableAllProjectMcpServers": True,
    }
    folder = session.tree / ".claude"
    (folder / "commands").mkdir(parents=True)
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "settings.local.json").write_text(json.dumps(settings))
    (folder / "commands" / "fix.md").write_text(f"!`{touch}`")
    server = {"mcpServers": {"planted": {"command": "sh", "args": ["-c", touch]}}}
    (session.tree / ".mcp.json").write_text(json.dumps(server))
    (session.tree / "CLAUDE.md").write_text("The canary sings. @.mcp.json\n")
    (session.tree / ".envrc").write_text(touch)
    api = session.api(by_answers(call("Bash", command="echo $PLANTED; git status"), verdict("done")))
    await session.run()
    assert not (tmp_path / "ran").exists()
    assert "canary" not in json.dumps(api.seen[0].body)
    assert "denied" in api.seen[1].results()[0]
    assert not any("planted" in one["name"] for one in api.seen[0].body["tools"])
    assert len(api.seen) == 2


async def test_a_background_command_neither_holds_the_run_up_nor_outlives_it(session: Session) -> None:
    forever = "while :; do sleep 0.2; done"
    api = session.api(
        by_answers(
            call("Bash", command=f"({forever}) > /dev/null 2>&1 &"),
            call("Bash", command=f"touch asked; {forever}", run_in_background=True, timeout=700),
            verdict("done"),
        )
    )
    await session.run(idle=20)
    assert session.last.duration < 10
    assert marked(session.run_id) == []
    assert len(api.seen) == 3


async def test_a_command_that_hangs_ends_before_the_silence_of_the_run_is_too_long(session: Session) -> None:
    api = session.api(by_answers(call("Bash", command="while :; do :; done", timeout=3_600_000), verdict("stuck")))
    assert (await session.run(idle=8)).verdict == "stuck"
    assert "timed out" in api.seen[1].results()[0]
    assert len(api.seen) == 2


async def test_a_flag_that_it_does_not_know_is_the_pods_trouble(session: Session) -> None:
    session.change(max_usd=-1)
    api = session.api(in_order(verdict("done")))
    with pytest.raises(ModelTrouble, match=r"^the model's program did not start: ."):
        await session.run()
    assert b"udget" in session.last.stderr
    assert session.last.stdout == b""
    assert api.seen == []


async def test_a_program_that_is_not_there_is_the_pods_trouble(session: Session) -> None:
    session.change(program="claude-of-nobody")
    with pytest.raises(PodTrouble, match="`claude-of-nobody` is missing"):
        await session.run()


async def test_a_model_that_only_talks_has_no_verdict(session: Session) -> None:
    api = session.api(in_order(Answer(text="All done, I think.")))
    with pytest.raises(TicketFailure) as caught:
        await session.run()
    assert caught.value.reason == "the model returned no verdict"
    assert "All done, I think." in caught.value.evidence
    assert len(api.seen) == 2  # it is reminded once
