"""Routes that clients of OpenAI's API know, and their fields in terms of stories."""
