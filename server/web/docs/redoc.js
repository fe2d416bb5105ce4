// ReDoc over this server's own document.
Redoc.init(
  "/openapi.json",
  { disableSearch: false, hideDownloadButton: false, expandResponses: "200,201", requiredPropsFirst: true },
  document.getElementById("redoc"),
);
