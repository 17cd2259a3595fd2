"""The command ``acdc``: finds the subcommand, and turns every user mistake into one line and exit code 2."""

import difflib
import sys
from collections.abc import Sequence

import click

from ..memory.rewrite import MemoryFailure
from ..utils.streams import drop_output, log, open_streams, settle_output
from ..utils.to_one_line import one_line
from ..utils.versions import acdc_version
from .lazy_group import LazyGroup

COMMANDS = {  # name: (module, one line of help); a module is imported when its command runs
    "story": (".story", "Draw a story: one picture a sentence, each corrected before the next is drawn."),
    "generate": (".generate", "Draw a file of stories, many at a time, each into its own folder."),
    "video": (".video", "Draw a video: chunks of frames, corrected together before the next chunk is drawn."),
    "correct": (".correct", "Correct pictures or clips that something else has drawn."),
    "reference": (".reference", "Draw reference pictures from noise with SDXL or SDXL-Lightning."),
    "acdit": (".acdit", "Draw pictures and clips of a class with ACDiT, block by block."),
    "evaluate": ("...bench.quality.cli", "Measure stories, clips and pictures that anything has drawn."),
    "serve": (".serve", "Serve stories over HTTP, with events while they are drawn."),
    "reproduce": ("...bench.reproduce.cli", "Draw and measure the rows of a table of the paper."),
    "vistorybench": ("...bench.vistorybench.cli", "Draw ViStoryBench's stories for its evaluation."),
    "write-stories": (".write_stories", "Write stories with a language model, to draw them later."),
    "info": (".info", "Show versions, devices and bundles; what is missing, and why."),
    "compile": (".compile", "Build the plans of a backend ahead of time."),
    "cache": (".cache", "List or clear the plans that backends keep on disk."),
    "overhead": ("...bench.overhead.cli", "Measure what the correction costs, against the plain autoregressive model."),
    "bench": ("...bench.serve.cli", "Measure a running service under load."),
    "plan": ("...bench.simulator.cli", "Say how long many stories would take on many machines, from measured stages."),
}
INTERRUPTED = 130
MISTAKE = 2
FAILED = 1


@click.group(cls=LazyGroup, lazy=COMMANDS, package=__package__, invoke_without_command=True)
@click.version_option(acdc_version(), prog_name="acdc")
@click.pass_context
def acdc(ctx: click.Context) -> None:
    """Draw stories and videos with an autoregressive model, and correct each frame with a diffusion model."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0; 2 after a user's mistake, 1 where a language model or some of
    many stories failed, 130 after Ctrl-C."""
    open_streams()
    try:
        return _run(list(sys.argv[1:] if argv is None else argv))
    finally:
        settle_output()


def _run(arguments: list[str]) -> int:
    try:
        # Not acdc.main(): it prints an empty line at Ctrl-C, and usage text at mistakes.
        with acdc.make_context("acdc", arguments) as context:
            acdc.invoke(context)
        return 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except BrokenPipeError:
        drop_output()  # the reader is gone (``acdc info | head -1``)
        return FAILED
    except click.ClickException as error:
        return _fail(_describe(error), error.exit_code)
    except MemoryFailure as error:
        return _fail(str(error), FAILED)
    except (ValueError, OSError) as error:
        return _fail(str(error), MISTAKE)
    except (KeyboardInterrupt, click.Abort) as stop:
        return _fail(str(stop) or "interrupted", INTERRUPTED)


def _fail(message: str, code: int) -> int:
    log(f"acdc: {one_line(message)}")
    return code


def _describe(error: click.ClickException) -> str:
    """Click's message; for an unknown option also the known ones."""
    if not isinstance(error, click.NoSuchOption) or error.ctx is None:
        return error.format_message()
    known = [name for parameter in error.ctx.command.params for name in parameter.opts if name.startswith("--")]
    near = difflib.get_close_matches(error.option_name, known)
    choices = f"did you mean {' or '.join(near)}?" if near else f"choose among {', '.join(known)}"
    return f"unknown option {error.option_name}; {choices}"
