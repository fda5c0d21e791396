"""How records stand in a landed file, and how one of them becomes what the lake may keep."""
