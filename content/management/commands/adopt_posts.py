"""`adopt_posts FILE --campaign NAME --platform youtube`: posts that are out already come under management."""

import argparse
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.context import Actor
from audit.errors import Refused
from content.post_file import in_batches, read_records, usable
from content.progress import Progress
from content.services.adoption import Post, adopt_posts, adopting_agent, campaign_to_adopt_into

BATCH = 200  # rows in one transaction
COLUMNS = ("platform_post_id", "published_at")
ACTOR = Actor.system("adopt_posts")


def platform_name(text: str) -> str:
    """A platform as it is written everywhere: lowercase, no spaces."""
    name = text.strip().lower()
    if not name or not name.replace("_", "").replace("-", "").isalnum():
        raise argparse.ArgumentTypeError("a platform is a word such as youtube")
    return name


class Command(BaseCommand):
    help = "Bring existing posts under management: one task, artifact and published record for each post of the file."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="CSV with platform_post_id, published_at, and title and channel")
        parser.add_argument("--campaign", required=True, metavar="NAME", help="made when there is none of that name")
        parser.add_argument("--platform", required=True, type=platform_name, help="such as youtube")

    def handle(self, *args: Any, **options: Any) -> None:
        path, platform = options["file"], options["platform"]
        adopted, rows, rejected = 0, 0, 0
        campaign, made = None, False
        try:
            with path.open("rb") as stream, Progress("adopting", stream) as progress:
                for batch in in_batches(read_records(stream, COLUMNS), BATCH):
                    posts, rejects = usable(batch, lambda record: [Post.of(record)])
                    if posts and campaign is None:  # a file without posts makes no campaign
                        campaign, made = campaign_to_adopt_into(
                            name=options["campaign"], platform=platform, actor=ACTOR
                        )
                        agent = adopting_agent(platform=platform, actor=ACTOR)
                    if campaign is not None:
                        adopted += adopt_posts(
                            campaign=campaign, agent=agent, platform=platform, posts=posts, actor=ACTOR
                        )
                    rows, rejected = rows + len(batch), rejected + len(rejects)
                    for reject in rejects:
                        progress.line(str(reject))
                    progress.at(f"{adopted:,} adopted")
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}.") from None
        except Refused as refusal:
            raise CommandError(refusal.sentence) from None
        if campaign is None:
            self.stdout.write(f"There is nothing to adopt: no row of {path} is a post.")
        else:
            self.stdout.write(
                f"{'Made' if made else 'Found'} campaign “{campaign}”. Read {rows:,} rows, adopted {adopted:,} posts; "
                f"{rows - rejected - adopted:,} rows were of posts known already, {rejected:,} rejected."
            )
        if rejected:
            raise CommandError(f"{rejected:,} rows were rejected; the lines above say why.")
