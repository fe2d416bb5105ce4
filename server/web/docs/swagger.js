// Swagger UI over this server's own document. No validator: that would send the document elsewhere.
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  filter: true,
  persistAuthorization: false, // a token stays in the page's memory
  tryItOutEnabled: true,
  validatorUrl: null,
});
