"""The privacy notice: what the site stores about people, as a text that admins can change."""
