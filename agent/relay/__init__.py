"""The relay between the sandbox and the Messages API: it adds the key, counts, and refuses beyond the run's budget."""

from agent.relay.app import Develop
from agent.relay.meter import Budget, Prices, Usage
from agent.relay.record import spent
from agent.relay.relay import Relay
from agent.relay.request import DEARER
from agent.relay.upstream import probe

__all__ = ["DEARER", "Budget", "Develop", "Prices", "Relay", "Usage", "probe", "spent"]
