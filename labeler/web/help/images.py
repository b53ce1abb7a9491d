"""Help for the pages about images: texts, marked for translation."""

from __future__ import annotations

from labeler.languages.texts import mark, mark_in_context
from labeler.web.help.topics import Topic

HELP_IMAGES = {
    "images": Topic(
        mark("Here you find images by name, label, status, proposal and much else."),
        (
            (
                mark("Label with a percentage"),
                mark("The label on which the votes agreed, and how probable it is."),
            ),
            (mark("Proposal"), mark("The label that the current model run thinks likeliest.")),
            (
                mark("Yaw"),
                mark("How far the head is turned. Positive numbers mean towards your right."),
            ),
        ),
        (
            mark("To find errors, filter for labels that differ from the proposal."),
            mark("Open an image to see every answer, and how its label came about."),
            mark("Keep the filter as a subset to use its images elsewhere."),
        ),
    ),
    "subsets": Topic(
        mark(
            "A subset is a filter of the images, or a list of them, under a name. Campaigns, "
            "downloads of labels, gold questions, mean faces and the rotation engine take one."
        ),
        (
            (
                mark("Live"),
                mark(
                    "The filter is run anew each time, with the votes and proposals of one "
                    "campaign."
                ),
            ),
            (mark("Frozen"), mark("An exact list. It never changes, whatever people vote.")),
            (
                mark("SHA-256 of the names"),
                mark(
                    "Two lists with the same hash have the same images. It is the hash of the "
                    "sorted file names, one per line."
                ),
            ),
        ),
        (
            mark("Filter the images, then press “Keep as a subset”."),
            mark("Freeze a subset before you publish results about it."),
            mark("Download the file names to turn heads with these images only."),
        ),
    ),
    "data-sets": Topic(
        mark("A data set is a set of images: an upload, or a folder or zip file on the server."),
        (
            (
                mark("Broken files"),
                mark("Files that cannot be read as images. They are not shown to people."),
            ),
            (
                mark_in_context("data set", "Active"),
                mark("An active campaign takes its images from this data set."),
            ),
            (
                mark("Yaw"),
                mark("How far a head is turned. The mean faces need it; a button measures it."),
            ),
        ),
        (
            mark(
                "Press “Add images” and upload a zip file or a folder. Or use a folder on the "
                "server."
            ),
            mark("To continue an interrupted upload, choose the same files again."),
            mark("Look at the broken files. Add the corrected ones as another data set."),
            mark("Create a campaign for the images."),
        ),
    ),
    "studio": Topic(
        mark(
            "The studio turns heads. This page lists the heads that have been turned, with their "
            "settings."
        ),
        (
            (
                mark("Strip"),
                mark("The source and all turned heads side by side, as one picture."),
            ),
            (
                mark("Angle"),
                mark(
                    "How far the head looks to the left or right. Left and right are yours, as you "
                    "look at the picture."
                ),
            ),
            (
                mark("Doubtful"),
                mark(
                    "A frame that may not be good. The head was turned far, or much of it was "
                    "hidden."
                ),
            ),
            (
                mark("Cluster"),
                mark(
                    "Images of other people whose heads look in about the same direction. Together "
                    "they show how a head turns."
                ),
            ),
            (
                mark("Link"),
                mark(
                    "Everybody who has the link of a result sees its strip and its name. Nobody "
                    "can guess it, and you can revoke it."
                ),
            ),
        ),
        (
            mark("Open a result and move the slider to turn the head."),
            mark(
                "Tick two results to compare them, for example with and without the light filter."
            ),
            mark("Download the strip, or share it by a link."),
        ),
    ),
    "mean-faces": Topic(
        mark(
            "A mean face is the average of all faces with the same light and head pose. It shows "
            "at a glance whether the labels are right."
        ),
        (
            (mark("n"), mark("How many images were averaged. With few, the mean face is noisy.")),
            (
                mark("Variance"),
                mark("How much the images differ from their mean face, averaged over all pixels."),
            ),
            (
                mark("Mean squared difference"),
                mark("How much two neighbouring mean faces differ."),
            ),
        ),
        (
            mark(
                "Check that the lit half is bright. If it is not, look at the labels of these "
                "images."
            ),
            mark("Store the yaw of the images first if the page says that it is not known."),
            mark("Draw it again after more labels have been agreed."),
        ),
    ),
}
