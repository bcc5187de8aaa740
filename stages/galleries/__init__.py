"""What is made to be looked at: figures of captioned pictures, as contact sheets and for the page."""
