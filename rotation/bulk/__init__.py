"""`rotation run --sources`: many heads turned in one run, and an index of them.

Sources with the same light and the same attributes form a group (`groups`). A group shares its
clusters, their latents and one fitted direction. Turning the sources is a pass (`turning`), in this
process or on a Ray cluster. `running` fits the directions, takes the results and writes the index.

A run can be stopped at any time and started again. A source whose folder is complete is not turned
again. A source that cannot be turned is told with its reason, and the others go on.
"""
