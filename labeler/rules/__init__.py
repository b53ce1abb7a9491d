"""Plain values: the rules of a campaign, image selections, random draws. No SQL, no Flask."""
