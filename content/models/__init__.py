"""What agents make (`artifact`), how it is decided (`review`), and where it goes (`publishing`).

The noun files import downwards only: publishing → review → artifact. Everybody else imports from here.
"""

from content.models.artifact import Artifact, VideoAsset
from content.models.publishing import PublishRecord
from content.models.review import JudgeLease, ReviewDecision, ReviewItem

__all__ = ["Artifact", "JudgeLease", "PublishRecord", "ReviewDecision", "ReviewItem", "VideoAsset"]
