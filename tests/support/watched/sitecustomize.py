"""Python reads this where it starts with this folder in PYTHONPATH: a command of ours that a test started watches itself."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))
from support.vitals import watch_this_process

sys.path.pop()
watch_this_process()
