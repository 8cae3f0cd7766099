"""Who is calling, and what that lets them reach."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from store.clock import Clock
from store.errors import InvalidRequestError
from store.models import EVERYWHERE, Scope, Source
from tools import guards
from tools.memories import Memories


@dataclass(frozen=True, slots=True)
class Caller:
    """One connected client: where its calls land unless an argument says otherwise.

    `user_is_fixed` where a credential said who the user is: no argument can name another one then. `project_is_fixed`
    where it is for one project alone: what is shared by all projects can be read, nothing of another one.
    """

    defaults: Scope
    source: Source
    user_is_fixed: bool = False
    project_is_fixed: bool = False

    def scope(self, user_id: str, project: str, agent_id: str, run_id: str) -> Scope:
        """Return the scope of one call; empty arguments take the defaults.

        Raises:
            InvalidRequestError: An argument is too long, or names a user that the caller is not.
        """
        return Scope(
            user_id=self._user(user_id),
            project=self._project(project) or self.defaults.project,
            agent_id=guards.name("agent_id", agent_id) or self.defaults.agent_id,
            run_id=guards.name("run_id", run_id) or self.defaults.run_id,
        )

    def scope_of_id(self, user_id: str, project: str, agent_id: str, run_id: str) -> Scope:
        """Return where to look for a memory that is named by its id: anywhere, but with this user.

        A model that found a memory in a project need not repeat the project to change it; if it does name one, the
        memory must be visible there.
        """
        return Scope(
            user_id=self._user(user_id),
            project=self._project(project) or (self.defaults.project if self.project_is_fixed else EVERYWHERE),
            agent_id=guards.name("agent_id", agent_id) or EVERYWHERE,
            run_id=guards.name("run_id", run_id),
        )

    def scope_to_change(self, user_id: str, project: str, agent_id: str, run_id: str) -> Scope:
        """Return where to look for a memory that is to be changed: of one project alone, if the credential is."""
        scope = self.scope_of_id(user_id, project, agent_id, run_id)
        return replace(scope, own_project_alone=self.project_is_fixed)

    def _user(self, user_id: str) -> str:
        user = guards.name("user_id", user_id) or self.defaults.user_id
        if self.user_is_fixed and user != self.defaults.user_id:
            raise InvalidRequestError("user_id comes from your credential here. Leave the argument empty.")
        return user

    def _project(self, named: str) -> str:
        project = guards.name("project", named)
        if self.project_is_fixed and project not in ("", self.defaults.project):
            raise InvalidRequestError(
                f"Your credential is for the project {self.defaults.project!r} alone. Leave project empty."
            )
        return project


@dataclass(frozen=True, slots=True)
class Access:
    """What the tools, resources and prompts are given to work with.

    `memories` opens the store the first time it is awaited; `caller` tells who sent the request being served.
    """

    memories: Callable[[], Awaitable[Memories]]
    caller: Callable[[], Caller]
    clock: Clock
