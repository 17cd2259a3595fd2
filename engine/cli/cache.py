"""``acdc cache``: the plans that backends keep on disk."""

import time

import click

from ...compile.cache import PlanCache

MIB = 1 << 20


@click.command(short_help="List or clear the plans kept on disk.")
@click.option("--clear", is_flag=True, help="Remove all plans; the next run builds those that it needs.")
def cache(clear: bool) -> None:
    """List the plans that backends keep on disk, the last used first; $ACDC_CACHE moves the folder."""
    plans = PlanCache()
    if plans.root is None:
        raise ValueError("there is no folder for plans: this user has no home folder; set ACDC_CACHE")
    entries = sorted((*plans.entries(), *plans.others()), key=lambda entry: -entry.used)
    total = sum(entry.num_bytes for entry in entries) / MIB
    if clear:
        click.echo(f"{plans.root}: removed {plans.clear()} plans, {total:.1f} MiB")
        return
    for entry in entries:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        click.echo(f"{entry.num_bytes / MIB:9.1f} MiB  {used}  {entry.what}")
    click.echo(f"{plans.root}: {len(list(plans.entries()))} plans, {total:.1f} MiB of at most {plans.limit / MIB:.0f}")
