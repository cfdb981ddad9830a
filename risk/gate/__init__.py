"""Rules on a change of parameters: from what is in force (base) to what is proposed (head)."""
