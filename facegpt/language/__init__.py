"""What the parameters of a face say in words: attributes with margins, captions, dialogues and their agreement."""
