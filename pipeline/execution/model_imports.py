"""What every worker with a model imports, for a process that has nothing else to do yet."""

import facegpt.model.annotator  # noqa: F401
import pipeline.annotate.stage  # noqa: F401
