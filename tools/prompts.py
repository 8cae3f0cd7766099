"""Prompts that a person picks in their client's menu."""

from mcp.server.mcpserver import MCPServer

from tools.results import NOTICE


def add_prompts(server: MCPServer) -> None:
    """Register the three prompts on a server."""

    @server.prompt(name="recall", title="Recall", description="What do you remember about a topic?")
    def recall(topic: str) -> str:
        return (
            f"What do you remember about {topic}? Search the memory with search_memory, with two or three different "
            "wordings if the first finds little. Answer from what you find, with the dates, and name the memory_id "
            f"of each memory you use. If nothing is relevant, say so. {NOTICE}"
        )

    @server.prompt(name="remember", title="Remember", description="Save what matters of this conversation for later.")
    def remember() -> str:
        return (
            "Go through this conversation and pick what will still matter in a later one: facts about me and my "
            "people, preferences, decisions with their reasons, plans with dates, procedures that worked. Write each "
            "as one self-contained statement, save them with add_memory, and look at similar in the result: where a "
            "memory is out of date now, update it instead of keeping both. No secrets, no guesses. Then list in one "
            "line each what you saved or changed."
        )

    @server.prompt(name="review", title="Review", description="Go through the stored memories and tidy them up.")
    def review() -> str:
        return (
            "Go through my memories with list_memories, page by page. Show me, in short lists with memory_id: those "
            "that contradict each other, those that say the same twice, those that look out of date, and those that "
            "look like secrets or junk. Propose for each what to do, and change or delete nothing before I agree. "
            f"{NOTICE}"
        )

    _ = recall, remember, review
